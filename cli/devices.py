"""`qwen3vl-edge devices`."""

from qwen3vl_edge.cli import options

__all__ = ["devices"]


def devices(json: options.Json = False) -> None:
    """List the devices that can run a model, with their memory.

    --device takes their names, in small letters or capitals; a backend's name means its first device.

    \b
    qwen3vl-edge devices
    qwen3vl-edge devices --json
    qwen3vl-edge ask demo "What color is the circle?" -i circle.png --device cpu
    """
    from qwen3vl_edge.cli import device_view
    from qwen3vl_edge.runtime.devices import backends_built, list_devices

    found = list_devices()
    if json:
        device_view.print_devices_json(found, backends_built())
    else:
        device_view.show_devices(found, backends_built())

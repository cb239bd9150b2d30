"""Everything that runs a model; the only part of the package that imports llama_cpp at run time."""

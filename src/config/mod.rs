//! Room `config`: flags, file and metadata become validated settings.

"""Our models as what other libraries expect: one file a library, which is imported only when it is used."""

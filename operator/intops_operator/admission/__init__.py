"""The admission endpoint: refuses what is wrong in itself, warns about what is not there yet."""

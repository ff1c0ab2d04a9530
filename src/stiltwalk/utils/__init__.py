"""Files, parameters, errors and processes: what every stage needs."""

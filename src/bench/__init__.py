"""What training, prediction and mining cost here, beside what people would use instead: `make bench`."""

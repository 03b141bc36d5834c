"""The method `gan`: a generator, trained against a discriminator, paints. `method` is its entry point."""

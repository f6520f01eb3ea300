"""The algorithms behind the diagrams: small seeded data in, frozen traces out. No drawing here."""

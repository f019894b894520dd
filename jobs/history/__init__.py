"""The history of generations: what each person's pages have made, in Cosmos DB or in Redis."""

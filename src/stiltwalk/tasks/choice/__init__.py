"""Multiple choice (HellaSwag, Cosmos QA, CommonsenseQA)."""

"""Operations: what people asked for, decisions on it, batches of it, and pauses."""

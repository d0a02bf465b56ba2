"""What to do with a confidence: correct it, answer or abstain under a guarantee, vote."""

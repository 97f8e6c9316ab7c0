"""Delivering what is in the outbox: by e-mail or to a webhook, each notice once (B63, C162)."""

"""Clients of event streams side by side: what they read rightly, and how fast."""

"""The far bank: sends tickets out. Knows the Planhat token and helpdesk credentials, never a webhook secret."""

"""The far bank: sends tickets out. Knows the Planhat token and helpdesk credentials; a webhook's secret only `connect`."""

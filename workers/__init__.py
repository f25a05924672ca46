"""The far bank: sends tickets out. Knows Planhat's token and helpdesk credentials; a webhook's secret only `connect`."""

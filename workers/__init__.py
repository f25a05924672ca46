"""The far bank: sends tickets out. Knows the Planhat token and helpdesk credentials; a hook's secret only `connect`."""

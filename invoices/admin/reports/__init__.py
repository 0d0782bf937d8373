"""The room of the reports: what each answers, its totals with the rows behind them, and its files."""

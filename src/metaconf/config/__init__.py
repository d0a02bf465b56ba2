"""What a command was told: settings, their checks, and the YAML files they come from."""

"""The diagnosis: from what was seen to the cause and its repair; the knowledge is data, one YAML file per provider."""

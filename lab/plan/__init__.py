"""From a model to a plan: an ordered list of small frozen operations, each with its reason. Pure; lab.fabric makes it real."""

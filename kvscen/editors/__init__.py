"""What editors and sites need to show scenarios in colour: the words of the language, from its declarations."""

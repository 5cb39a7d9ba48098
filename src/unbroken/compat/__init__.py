"""The names of the libraries people come from: change the import, keep the rest."""

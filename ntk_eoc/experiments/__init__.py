"""One module per figure: a frozen configuration in, arrays out. The finite and the infinite network meet here."""

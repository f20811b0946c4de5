def glosses_of(text): return text.upper().split()

"""Processing: raw clip -> model input. Importing stays light; torch and transformers load with the processor classes."""

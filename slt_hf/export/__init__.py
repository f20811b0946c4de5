"""Exported checkpoints: writing them (needs torch), and running them (needs onnxruntime and numpy alone).

    slt_hf.export.exporting.export_checkpoint(folder, output)     # what `slt-hf export` calls
    SignTranslator.from_pretrained(output)                        # runs it; nothing here has to be named
"""

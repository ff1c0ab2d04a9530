"""Fine-tuning with Accelerate: settings, batches, the trainer, evaluation."""

"""What scores say: bootstrap intervals, attributes, time, size, the odds of failing, hard cases."""

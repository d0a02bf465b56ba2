"""`metaconf plan`: what a training will hold in memory and take in time, before it is started."""

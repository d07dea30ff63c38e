"""What went by where: captures on any interface of any machine of the lab, and the decoding of what was seen."""

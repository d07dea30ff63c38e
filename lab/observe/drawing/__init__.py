"""From a graph of a cluster to pictures: layouts that say where everything goes, and writers that put it down as SVG, DOT or text."""

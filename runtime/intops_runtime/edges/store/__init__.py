"""The store of messages behind one small interface: deliveries, messages, attempts, links of one plan."""

"""What servers ask their clients, answered by the gateway: sampling by a model, resource links of its own workers."""

"""`dcsfl-train keys`: making, showing and changing a group's keys, and the ceremony of a threshold group."""

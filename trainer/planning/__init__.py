"""What each encryption scheme would cost on this machine, and which one to choose: `dcsfl-train plan`. No torch."""

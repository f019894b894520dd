"""Progress as it happens, over Socket.IO."""

"""What the demonstration needs beside the proxy: a stand-in for the old server."""

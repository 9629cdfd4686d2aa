"""Galleries on Milvus: entries in a collection of a server, or of Milvus Lite in this process."""

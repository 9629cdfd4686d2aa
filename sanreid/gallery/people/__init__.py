"""Who is who in a gallery: people proposed by clustering, named, merged, split and renamed."""

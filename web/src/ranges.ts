/** ranges are the times that a page can show, in ms. */
export const ranges: Record<string, number> = { '15m': 9e5, '1h': 36e5, '6h': 216e5, '24h': 864e5, '7d': 6048e5 }

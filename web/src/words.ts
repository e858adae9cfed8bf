/** lastWords is the last line of what a failure said, where numbers and ids do not tell apart. */
export const lastWords = (error: string | undefined) => error?.trimEnd().split('\n').at(-1)!.trim() || 'failed without a word'

/** model is a model's name without what every one of them begins and ends with. */
export const model = (name: string) => name.replace(/^(us|eu|apac|global)\./, '').replace(/-v\d+:\d+$/, '')

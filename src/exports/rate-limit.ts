/** `app.limitUser` and the limits by address, for an application of your own (docs/single-plugins.md). */
export { answerError } from '../../plugins/problems.ts'
export { default } from '../../plugins/rate-limit.ts'

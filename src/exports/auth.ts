/** `app.authenticate` and what belongs to it, for an application of your own (docs/single-plugins.md). */
export { default } from '../../plugins/auth.ts'
export { answerError } from '../../plugins/problems.ts'
export type { Owner, User } from '../auth/user.ts'

// The plugins, whose types add to those of Fastify, such as `request.user` and `app.store`. They are exported, because
// the declarations of the package leave out an import of which no type is used, and what it adds would be lost.
export type { default as auth } from '../../plugins/auth.ts'
export type { default as database } from '../../plugins/database.ts'
export type { default as deadline } from '../../plugins/deadline.ts'
export type { default as rateLimit } from '../../plugins/rate-limit.ts'
export type { default as stores } from '../../plugins/stores.ts'
export type { default as streams } from '../../plugins/streams.ts'
export type { default as api } from '../../routes/api/autohooks.ts'

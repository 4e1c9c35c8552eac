// The service with two resources that differ in one thing: the second has a `max`. `quota-cost.ts` measures it.
import { Type } from '@sinclair/typebox'
import { boolean, text } from 'drizzle-orm/pg-core'
import Fastify from 'fastify'
import appPlugin, { serverOptions } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { dateTime, ownedTable } from '../../src/db/tables.ts'
import { resource } from '../../src/resource/resource.ts'
import { mount } from '../contract/mount.ts'
import { projectOf } from '../support/app.ts'

const columns = () => ({
  title: text('title').notNull(),
  description: text('description'),
  completed: boolean('completed').notNull().default(false),
  dueAt: dateTime('due_at')
})
const members = {
  title: Type.String({ minLength: 1, maxLength: 200 }),
  description: Type.String({ maxLength: 10_000 }),
  completed: Type.Boolean(),
  dueAt: Type.String({ format: 'date-time' })
}

export const free = ownedTable('free_tasks', columns())
export const bounded = ownedTable('bounded_tasks', columns())

if (process.env.PORT !== undefined) {
  const config = loadConfig()
  const app = Fastify(serverOptions(config))
  await app.register(appPlugin, { config, ...projectOf({ free, bounded }) })
  await mount(app, resource(free, { name: 'freeTask', members }))
  await mount(app, resource(bounded, { name: 'boundedTask', members, max: 999_999_999 }))
  await app.listen({ host: config.host, port: config.port, backlog: 4096 })
}

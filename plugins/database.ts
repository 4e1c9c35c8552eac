import fp from 'fastify-plugin'
import { connect, type Db } from '../src/db/connect.ts'

declare module 'fastify' {
  interface FastifyInstance {
    db: Db
  }
}

/** Opens the database (`src/db/connect.ts`) and closes it with the instance. */
export default fp(
  async (app) => {
    const { db, close } = await connect(app.config.database, app.log)
    app.decorate('db', db)
    app.addHook('onClose', close)
  },
  { name: 'database' }
)

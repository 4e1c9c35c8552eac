import fp from 'fastify-plugin'
import type { Bodies, Declaration } from '../src/resource/declaration.ts'
import type { Context } from '../src/resource/routes/context.ts'
import { Store } from '../src/resource/store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns the store of a resource (`src/resource/store.ts`). The statements of each are prepared once. */
    store<New extends object, Change extends object>(declaration: Declaration & Bodies<New, Change>): Store<New, Change>
    /** The resources that are served, by the names of their collections (`bank-accounts`). */
    resources: Map<string, Context>
  }
}

/** Makes the stores of the resources, and knows which resources there are. */
export default fp(
  async (app) => {
    app.decorate('resources', new Map<string, Context>())
    const stores = new Map<object, unknown>()
    app.decorate(
      'store',
      <New extends object, Change extends object>(declaration: Declaration & Bodies<New, Change>) => {
        const store =
          (stores.get(declaration) as Store<New, Change> | undefined) ??
          new Store(app, declaration, declaration.maxOf(app.config))
        stores.set(declaration, store)
        return store
      }
    )
  },
  { name: 'stores', dependencies: ['database'] }
)

CREATE TABLE "idempotency_keys" (
	"user_id" text collate "C" NOT NULL,
	"key" text NOT NULL,
	"digest" text NOT NULL,
	"json" text NOT NULL,
	"location" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "idempotency_keys_user_id_key_pk" PRIMARY KEY("user_id","key")
);
--> statement-breakpoint
ALTER TABLE "idempotency_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "idempotency_keys_created_at" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE POLICY "idempotency_keys_owner" ON "idempotency_keys" AS PERMISSIVE FOR ALL TO public USING ("idempotency_keys"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("idempotency_keys"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
CREATE POLICY "idempotency_keys_over" ON "idempotency_keys" AS PERMISSIVE FOR SELECT TO public USING ("idempotency_keys"."created_at" < now() - interval '24 hours');--> statement-breakpoint
CREATE POLICY "idempotency_keys_swept" ON "idempotency_keys" AS PERMISSIVE FOR DELETE TO public USING ("idempotency_keys"."created_at" < now() - interval '24 hours');
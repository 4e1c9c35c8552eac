-- The service's own tables. The first versions made them by migrations of this repository (../0002 to ../0005), and forks
-- may have some of those only. So each statement makes what is not there yet.
CREATE TABLE IF NOT EXISTS "changes" (
	"user_id" text collate "C" NOT NULL,
	"seq" bigint NOT NULL,
	"resource" text NOT NULL,
	"id" uuid NOT NULL,
	"version" integer NOT NULL,
	"kind" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "changes_user_id_seq_pk" PRIMARY KEY("user_id","seq")
);
--> statement-breakpoint
ALTER TABLE "changes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE IF NOT EXISTS "feeds" (
	"user_id" text collate "C" NOT NULL,
	"key" uuid DEFAULT gen_random_uuid() NOT NULL,
	"seq" bigint NOT NULL,
	"started_by" "xid8" NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "feeds_user_id_pk" PRIMARY KEY("user_id")
);
--> statement-breakpoint
ALTER TABLE "feeds" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE IF NOT EXISTS "idempotency_keys" (
	"user_id" text collate "C" NOT NULL,
	"key" text NOT NULL,
	"digest" text NOT NULL,
	"json" text NOT NULL,
	"abridged" boolean DEFAULT false NOT NULL,
	"location" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "idempotency_keys_user_id_key_pk" PRIMARY KEY("user_id","key")
);
--> statement-breakpoint
ALTER TABLE "idempotency_keys" ADD COLUMN IF NOT EXISTS "abridged" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE IF NOT EXISTS "row_counts" (
	"user_id" text collate "C" NOT NULL,
	"resource" text NOT NULL,
	"at_most" integer NOT NULL,
	CONSTRAINT "row_counts_user_id_resource_pk" PRIMARY KEY("user_id","resource")
);
--> statement-breakpoint
ALTER TABLE "row_counts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "changes_created_at" ON "changes" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX IF NOT EXISTS "idempotency_keys_created_at" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
DROP POLICY IF EXISTS "changes_owner" ON "changes";--> statement-breakpoint
CREATE POLICY "changes_owner" ON "changes" AS PERMISSIVE FOR ALL TO public USING ("changes"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("changes"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
DROP POLICY IF EXISTS "changes_over" ON "changes";--> statement-breakpoint
CREATE POLICY "changes_over" ON "changes" AS PERMISSIVE FOR SELECT TO public USING ("changes"."created_at" < now() - interval '24 hours');--> statement-breakpoint
DROP POLICY IF EXISTS "changes_locked" ON "changes";--> statement-breakpoint
CREATE POLICY "changes_locked" ON "changes" AS PERMISSIVE FOR UPDATE TO public USING ("changes"."created_at" < now() - interval '24 hours') WITH CHECK (false);--> statement-breakpoint
DROP POLICY IF EXISTS "changes_swept" ON "changes";--> statement-breakpoint
CREATE POLICY "changes_swept" ON "changes" AS PERMISSIVE FOR DELETE TO public USING ("changes"."created_at" < now() - interval '24 hours');--> statement-breakpoint
DROP POLICY IF EXISTS "feeds_owner" ON "feeds";--> statement-breakpoint
CREATE POLICY "feeds_owner" ON "feeds" AS PERMISSIVE FOR ALL TO public USING ("feeds"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("feeds"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
DROP POLICY IF EXISTS "feeds_over" ON "feeds";--> statement-breakpoint
CREATE POLICY "feeds_over" ON "feeds" AS PERMISSIVE FOR SELECT TO public USING ("feeds"."expires_at" < now());--> statement-breakpoint
DROP POLICY IF EXISTS "feeds_locked" ON "feeds";--> statement-breakpoint
CREATE POLICY "feeds_locked" ON "feeds" AS PERMISSIVE FOR UPDATE TO public USING ("feeds"."expires_at" < now()) WITH CHECK (false);--> statement-breakpoint
DROP POLICY IF EXISTS "feeds_swept" ON "feeds";--> statement-breakpoint
CREATE POLICY "feeds_swept" ON "feeds" AS PERMISSIVE FOR DELETE TO public USING ("feeds"."expires_at" < now());--> statement-breakpoint
DROP POLICY IF EXISTS "idempotency_keys_owner" ON "idempotency_keys";--> statement-breakpoint
CREATE POLICY "idempotency_keys_owner" ON "idempotency_keys" AS PERMISSIVE FOR ALL TO public USING ("idempotency_keys"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("idempotency_keys"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
DROP POLICY IF EXISTS "idempotency_keys_over" ON "idempotency_keys";--> statement-breakpoint
CREATE POLICY "idempotency_keys_over" ON "idempotency_keys" AS PERMISSIVE FOR SELECT TO public USING ("idempotency_keys"."created_at" < now() - interval '24 hours');--> statement-breakpoint
DROP POLICY IF EXISTS "idempotency_keys_locked" ON "idempotency_keys";--> statement-breakpoint
CREATE POLICY "idempotency_keys_locked" ON "idempotency_keys" AS PERMISSIVE FOR UPDATE TO public USING ("idempotency_keys"."created_at" < now() - interval '24 hours') WITH CHECK (false);--> statement-breakpoint
DROP POLICY IF EXISTS "idempotency_keys_swept" ON "idempotency_keys";--> statement-breakpoint
CREATE POLICY "idempotency_keys_swept" ON "idempotency_keys" AS PERMISSIVE FOR DELETE TO public USING ("idempotency_keys"."created_at" < now() - interval '24 hours');--> statement-breakpoint
DROP POLICY IF EXISTS "row_counts_owner" ON "row_counts";--> statement-breakpoint
CREATE POLICY "row_counts_owner" ON "row_counts" AS PERMISSIVE FOR ALL TO public USING ("row_counts"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("row_counts"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
-- Records a change for the owner, if somebody listens to them, and tells the instances. The numbers of one owner have no
-- gaps and are in the order of the commits: whoever takes one holds the row of the feed until then. One that is there
-- stays, because an operator may have replaced it (docs/citus.sql).
DO $do$ BEGIN
  IF to_regproc('record_change') IS NULL THEN
    CREATE FUNCTION record_change(owner text, resource text, id uuid, version integer, kind text) RETURNS void LANGUAGE plpgsql AS $$
    declare
      feed feeds;
    begin
      update feeds set seq = seq + 1 where user_id = owner and expires_at > now() returning * into feed;
      if found then
        insert into changes (user_id, seq, resource, id, version, kind)
          values (owner, feed.seq, resource, id, version, kind);
        perform pg_notify('rowkeeper', feed.key::text);
      end if;
    end $$;
  END IF;
END $do$;

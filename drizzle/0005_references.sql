CREATE TABLE "row_counts" (
	"user_id" text collate "C" NOT NULL,
	"resource" text NOT NULL,
	"at_most" integer NOT NULL,
	CONSTRAINT "row_counts_user_id_resource_pk" PRIMARY KEY("user_id","resource")
);
--> statement-breakpoint
ALTER TABLE "row_counts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "create_digest" text;--> statement-breakpoint
CREATE POLICY "row_counts_owner" ON "row_counts" AS PERMISSIVE FOR ALL TO public USING ("row_counts"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("row_counts"."user_id" = current_setting('rowkeeper.owner', true));